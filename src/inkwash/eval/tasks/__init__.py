"""What can be evaluated: drawing scenes and editing them."""
