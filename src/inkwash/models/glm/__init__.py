"""What the drawing and the seeing models share: the text decoder, and its short ways for one token at a time."""
