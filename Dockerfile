# faceinv with all bundled plugins:
#   docker build -t faceinv .
#   docker run --rm -v "$PWD/runs:/home/faceinv/runs" faceinv bench --encoder arcface --losses id,lm,hist
# docs/how-to/container.md has CUDA, exact versions and weights.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# Where PyTorch is installed from: its builds for the CPU. For CUDA 12.6: https://download.pytorch.org/whl/cu126
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# A file with the exact versions of everything, PyTorch included: requirements/lock.txt
ARG LOCK=

ENV PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /opt/faceinv
COPY . .
# Versions are pinned by LOCK, if that is given.
# hadolint ignore=DL3013
RUN if [ -n "$LOCK" ]; then pip install --require-hashes -r "$LOCK"; \
    else pip install --index-url "$TORCH_INDEX" torch torchvision; fi
# The next two lines are those of the README.
RUN pip install 'hatchling>=1.26,<2'
# hadolint ignore=DL3059
RUN pip install --no-build-isolation -r requirements/checkout.txt

# Any user may write runs, and weights to keep in a volume.
WORKDIR /home/faceinv
ENV HOME=/home/faceinv \
    FACEINV_CACHE=/home/faceinv/cache
RUN mkdir -m 1777 runs cache && chmod 1777 .
USER 1000
ENTRYPOINT ["faceinv"]
CMD ["--help"]
