"""Serving: the OpenAI images API over one engine, with queue, cancellation, jobs and metrics."""
