# panoptic as a command, for a CPU or for CUDA; see docs/deploy.md.
FROM python:3.12-slim

# Index of PyTorch's wheels for the CPU or for a version of CUDA; without one, torch comes from where pip takes the rest.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN useradd --create-home panoptic && mkdir /work && chown panoptic:panoptic /work

WORKDIR /opt/panoptic
COPY . .
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch torchvision; fi
RUN pip install -e '.[dev]'

USER panoptic
WORKDIR /work
ENTRYPOINT ["panoptic"]
CMD ["--help"]
