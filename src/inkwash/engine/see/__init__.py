"""Seeing: conversations with pictures, videos and documents, answered token by token by a GLM-V checkpoint.

Start reading at `pipeline.py`; `generator.py` is the token loop, `prefix.py` what is kept between turns, `media.py`
how files become pictures and videos.
"""
