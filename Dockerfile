# syntax=docker/dockerfile:1
# Inkwash in a container: the API, and the page at /ui.
#   docker build -t inkwash .                                 # for a CPU
#   docker build -t inkwash:cuda --build-arg VARIANT=cuda .   # for NVIDIA GPUs: docker run --gpus all ...
#   docker run --rm -p 127.0.0.1:30000:30000 -v inkwash:/var/lib/inkwash inkwash
# Every version is pinned by constraints.txt. nano and nano-v are inside; other checkpoints are fetched into the volume,
# or mounted and named: docker run ... inkwash serve /models/NAME --host 0.0.0.0

ARG PYTHON=3.12.11

# What the build needs stays in this stage.
FROM python:${PYTHON}-slim-bookworm AS build
ARG VARIANT=cpu
ARG EXTRAS=serve,ocr,media
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_CONSTRAINT=/src/constraints.txt
WORKDIR /src
RUN python -m venv /opt/inkwash
# The dependencies alone first: this layer is built again only when they change.
COPY pyproject.toml constraints.txt deploy/requirements.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python requirements.py "${EXTRAS}" > requirements.txt \
    && if [ "${VARIANT}" = cpu ]; then set -- --extra-index-url https://download.pytorch.org/whl/cpu; else set --; fi \
    && /opt/inkwash/bin/pip install -r requirements.txt "$@"
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm AS run
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/inkwash inkwash
COPY --from=build /opt/inkwash /opt/inkwash
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    /opt/inkwash/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
ENV PATH=/opt/inkwash/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    INKWASH_CACHE=/var/lib/inkwash/cache \
    HF_HOME=/var/lib/inkwash/hub \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /var/lib/inkwash
VOLUME /var/lib/inkwash
EXPOSE 30000
# 503 while the model loads and draws its self-test picture; a large checkpoint takes minutes.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:30000/health', timeout=4)"]
ENTRYPOINT ["inkwash"]
CMD ["serve", "nano", "--host", "0.0.0.0", "--port", "30000", "--ui"]
