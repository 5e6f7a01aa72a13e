# Serves the bundled models to this machine:
#   docker build -t actionlens . && docker run --rm -e ACTIONLENS_INSECURE=1 \
#     -p 127.0.0.1:8470:8470 -p 127.0.0.1:8471:8471 -p 127.0.0.1:8472:8472 actionlens
# In the container it listens on all addresses, and does not start unless it knows its callers
# (ACTIONLENS_AUTHENTICATION__TOKENS, see docs/security.md) or is told that only this machine reaches it, as above.
# Other models instead: -v /my/models:/models -e ACTIONLENS_MODEL_STORE=/models; beside them: -v /my/models:/data/models
# Jobs that outlive the container: -v actionlens:/data
FROM python:3.11-slim AS build
# An index with torch's CPU build keeps the image small; PyPI's carries CUDA.
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY pyproject.toml constraints.txt ./
COPY requirements requirements
COPY scripts/environment scripts/build-image-steps scripts/
RUN scripts/build-image-steps dependencies /opt/actionlens
COPY README.md LICENSE setup.py ./
COPY actionlens actionlens
COPY handlers handlers
COPY service service
COPY protos protos
COPY model_store model_store
# What `actionlens --version` says of the commit: --build-arg SOURCE_COMMIT="commit $(git rev-parse --short HEAD)"
ARG SOURCE_COMMIT=
RUN scripts/build-image-steps application /opt/actionlens

FROM python:3.11-slim
# With it the processes that decode films and pictures may make hardly any system call.
RUN apt-get update && apt-get install --yes --no-install-recommends libseccomp2 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 actionlens && install --directory --owner actionlens --mode 700 /data
COPY --from=build /opt/actionlens /opt/actionlens
ENV PATH=/opt/actionlens/bin:$PATH \
    ACTIONLENS_HOST=0.0.0.0 \
    ACTIONLENS_LOG_FORMAT=json \
    ACTIONLENS_DATA=/data
USER actionlens
WORKDIR /home/actionlens
EXPOSE 8470 8471 8472
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --retries=3 CMD ["actionlens", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["actionlens"]
CMD ["serve"]
