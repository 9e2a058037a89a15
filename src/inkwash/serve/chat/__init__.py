"""Conversations with a model that sees, in the OpenAI formats: chat completions and responses."""

from inkwash.serve.chat.model import Chat
from inkwash.serve.chat.routes import BODIES, make_chat_router

__all__ = ["BODIES", "Chat", "make_chat_router"]
