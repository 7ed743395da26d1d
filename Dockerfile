# One image for every process of a cluster: `streamctl dispatcher`, `streamctl taskmanager`, and the command itself.
#
#   docker build -t headrace .
#   docker build -t headrace --build-arg PYTHON_VERSION=3.12 .   # the Python of those who submit: functions are
#                                                                # shipped as bytecode of one minor version
# Not in it: Java, Kafka and Redis of the local cluster (`streamctl up`); here they are servers of their own.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements-build.lock requirements-image.lock ./
RUN python -m venv /opt/hatch && /opt/hatch/bin/pip install -q --require-hashes -r requirements-build.lock
RUN python -m venv /opt/headrace && /opt/headrace/bin/pip install -q --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY connectors connectors
COPY cli cli
RUN /opt/hatch/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /build/wheels . \
 && /opt/headrace/bin/pip install -q --no-deps --no-index /build/wheels/*.whl

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN groupadd --gid 10001 headrace \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/headrace --shell /usr/sbin/nologin headrace \
 && install -d -o headrace -g headrace -m 0750 /var/lib/headrace
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HEADRACE_STATE_DIR=/var/lib/headrace \
    HEADRACE_CACHE_DIR=/var/lib/headrace/cache
USER 10001:10001
WORKDIR /var/lib/headrace
# A TaskManager keeps its identity and code packages here: give each one a volume of its own.
VOLUME ["/var/lib/headrace"]
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["streamctl", "health"]
ENTRYPOINT ["streamctl"]
CMD ["--help"]
