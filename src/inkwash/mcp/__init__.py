"""A server of the Model Context Protocol: tools that any assistant may call, over stdio or streamable HTTP.

`tool.py` says what a tool is, `arguments.py` makes its schema from a dataclass, `server.py` speaks the protocol with
the official SDK. The tools themselves are made by `cli/mcp_tools.py` out of the options of the commands.
"""
