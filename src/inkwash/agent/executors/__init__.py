"""What carries acts out: a browser, a screen with a mouse, a phone; `executor.py` says what each of them offers."""
