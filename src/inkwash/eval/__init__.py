"""Evaluation: does a picture show what was asked for, above all the words?

`tasks.scenes.score_images` scores finished pictures and needs no model; `run` draws them; `report` makes the page.
"""
