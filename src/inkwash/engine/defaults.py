"""What a model draws with by itself, for those who use the engine."""

from inkwash.models.glm_image.folder import ModelDefaults

__all__ = ["ModelDefaults"]
