# syntax=docker/dockerfile:1
# One image for launcher, worker and commands; `--target lake` adds Hive, Iceberg and Spark with a Java of their own, `--target box` the cloud in a
# box, to try the portal without an account. See docs/container.md.
#
# The last stage holds no compiler, no cache and nothing of .git, tests or bench; code and libraries belong to root, state is in /var/lib/portal.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ── the libraries, by hash; none of them is compiled here ──
FROM ${PYTHON_IMAGE} AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /opt/portal
RUN python -m venv .venv
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    .venv/bin/pip install --quiet --require-hashes --only-binary=:all: -r requirements.txt

FROM libraries AS libraries-lake
COPY requirements-lake.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    .venv/bin/pip install --quiet --require-hashes -r requirements-lake.txt

FROM libraries AS libraries-box
COPY requirements-demo.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    .venv/bin/pip install --quiet --require-hashes -r requirements-demo.txt

# ── the code, with the converter's kernel: readable by all, writable by nobody but root ──
FROM ${PYTHON_IMAGE} AS code
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/portal
COPY portal/__init__.py portal/
COPY portal/native portal/native
RUN python -m portal.native.build && test -n "$(ls portal/native/built/kernel-*.so)"
COPY app.py worker.py LICENSE .env.example connections.example.toml ./
COPY .streamlit/config.toml .streamlit/
COPY static static
COPY engines engines
COPY portal portal
RUN python -m compileall -q portal engines app.py worker.py && chmod -R u=rwX,go=rX .

FROM code AS code-box
COPY embedded embedded
RUN python -m compileall -q embedded && chmod -R u=rwX,go=rX embedded

# ── what both images are ──
FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 portal \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/portal --shell /usr/sbin/nologin portal \
 && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/portal /var/lib/portal/data
ENV PATH=/opt/portal/.venv/bin:$PATH \
    HOME=/var/lib/portal \
    PORTAL_HOME=/var/lib/portal \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/portal
COPY --from=code /opt/portal /opt/portal
USER 10001:10001
EXPOSE 8501
# A worker: SIGQUIT ends its running jobs, to be run again, because nothing outlives a container.
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["python", "-m", "portal", "health"]
CMD ["python", "worker.py"]

# ── the portal and the cloud in a box, all in one container ──
FROM base AS box
COPY --from=code-box /opt/portal/embedded embedded
COPY --from=libraries-box /opt/portal/.venv .venv
STOPSIGNAL SIGTERM
CMD ["python", "-m", "embedded.portal", "--home", "/var/lib/portal", "--host", "0.0.0.0", "--port", "8501"]

# ── the portal and what the lakehouse needs ──
FROM base AS lake
COPY --from=libraries-lake /opt/portal/.venv .venv

# ── the portal ──
FROM base AS portal
COPY --from=libraries /opt/portal/.venv .venv
