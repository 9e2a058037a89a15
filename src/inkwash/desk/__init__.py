"""The assistant of a desktop: pictures and recordings of the screen, kept conversations, keys, hotkeys, a window.

Nothing here loads a library of the extra `desk` before it is used, and each missing piece (no display, no permission,
no package) is said in one sentence.
"""
