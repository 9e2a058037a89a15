"""Agents over HTTP: one step without any act, and runs in a browser of the server: watched, confirmed, stopped."""

from inkwash.serve.agent.routes import BODIES, make_agent_router

__all__ = ["BODIES", "make_agent_router"]
