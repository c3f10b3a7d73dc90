# make quick: a trained network, its scores and a picture, from a bare clone. make test: the test suite.
PYTHON ?= python3
VENV ?= .venv
PICTURE ?= docs/images/scene.jpg
RUN := runs/quick/$(shell date +%Y-%m-%d_%H-%M-%S)
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: quick test lint

quick: $(INSTALLED)
	$(PY) -m panoptic.train experiment=quick hydra.run.dir=$(RUN)
	$(PY) -m panoptic.evaluate checkpoint=$(RUN)/checkpoints/best.ckpt
	$(PY) -m panoptic.predict checkpoint=$(RUN)/checkpoints/best.ckpt input=$(PICTURE)

test: $(INSTALLED)
	$(PY) -m pytest

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable '.[dev]'
	touch $@
