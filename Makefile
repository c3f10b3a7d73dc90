# make quick: a trained network, its scores and a picture, from a bare clone. make nuclei: the same on real images.
# make test: the test suite. make soak: what is too long for it.
# make bench: the figures of speed. make gpu: what needs a GPU. make notebooks: the notebooks with their outputs.
PYTHON ?= python3
VENV ?= .venv
PICTURE ?= docs/images/scene.jpg
RUN := runs/quick/$(shell date +%Y-%m-%d_%H-%M-%S)
PY := $(VENV)/bin/python
RESULTS := benchmarks/results
INSTALLED := $(VENV)/.installed

.PHONY: quick nuclei test soak lint bench gpu tables docs notebooks

quick: $(INSTALLED)
	$(PY) -m panoptic.train experiment=quick hydra.run.dir=$(RUN)
	$(PY) -m panoptic.evaluate checkpoint=$(RUN)/checkpoints/best.ckpt
	$(PY) -m panoptic.predict checkpoint=$(RUN)/checkpoints/best.ckpt input=$(PICTURE)

# A small real data set, from its files to predictions.
NUCLEI := runs/nuclei/$(shell date +%Y-%m-%d_%H-%M-%S)
nuclei: $(INSTALLED)
	$(PY) -m panoptic.inspect data=coco_panoptic data.root=examples/nuclei output=$(NUCLEI)/inspect
	$(PY) -m panoptic.train experiment=quick name=nuclei data=coco_panoptic data.root=examples/nuclei data.any_orientation=true \
	  hydra.run.dir=$(NUCLEI)
	$(PY) -m panoptic.evaluate checkpoint=$(NUCLEI)/checkpoints/last.ckpt split=val visualize=true worst=5
	$(PY) -m panoptic.predict checkpoint=$(NUCLEI)/checkpoints/last.ckpt input=examples/nuclei/val

test: $(INSTALLED)
	$(PY) -m pytest -n logical --dist worksteal

# The figures of docs/performance.md and docs/metrics.md; half an hour on two CPU cores. Start-up comes before
# the networks to compare with are installed, since torchmetrics imports transformers where it finds it.
bench: $(INSTALLED)
	$(PY) -m benchmarks.startup --output $(RESULTS)/startup.json
	$(PY) -m pip install --quiet --editable '.[dev,bench,export,openvino]'
	$(PY) -m benchmarks.export --output $(RESULTS)/export.json
	$(PY) -m benchmarks.predicting --output $(RESULTS)/predicting.json
	$(PY) -m benchmarks.latency --output $(RESULTS)/latency.json
	$(PY) -m benchmarks.inference --output $(RESULTS)/inference.json
	$(PY) -m benchmarks.training --output $(RESULTS)/training.json
	$(PY) -m benchmarks.depthwise --output $(RESULTS)/depthwise.json
	$(PY) -m benchmarks.loading --output $(RESULTS)/loading.json
	$(PY) -m benchmarks.scaling --output $(RESULTS)/scaling.json --plot docs/images/scaling.png
	$(PY) -m benchmarks.allocation --output $(RESULTS)/allocation.json
	$(PY) -m benchmarks.profiling --output $(RESULTS)/profiling.json
	$(PY) -m benchmarks.metrics --output $(RESULTS)/metrics.json

# On one CUDA GPU: the tests that need it, its figures, and a run of full. Ends within the minutes.
MINUTES ?= 9
gpu: $(INSTALLED)
	$(PY) -m benchmarks.gpu --minutes $(MINUTES) --output $(RESULTS)/gpu.json
	$(PY) -m benchmarks.tables

# Tables of figures in the documentation, from the files in benchmarks/results; and the reference of the configuration.
tables: $(INSTALLED)
	$(PY) -m benchmarks.tables
	$(PY) -m benchmarks.configuration

# The documentation as a site, in site/.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# Executes both in place. The ablation trains those runs of the fusion study that have not finished: hours for all.
notebooks: $(INSTALLED)
	$(VENV)/bin/jupyter-execute --inplace notebooks/quickstart.ipynb notebooks/ablation.ipynb

# The longest tests: faults injected into whole runs, and the figures of a GPU tried on a CPU. Then faults by the hundred,
# whose table is in docs/reliability.md; half an hour on two CPU cores.
soak: $(INSTALLED)
	$(PY) -m pytest -n logical --dist worksteal -m soak
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.soak --output $(RESULTS)/soak.json
	$(PY) -m benchmarks.tables

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable '.[dev]'
	touch $@
