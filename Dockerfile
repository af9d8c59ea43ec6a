# The HTTP service: unprivileged, nothing to write, no compiler. It builds from a bare clone.
# The bases are named by version; a deployment that must be the same bit by bit adds @sha256:DIGEST to each.
FROM node:22-slim AS node

# The page, by the same hook as `pip install .`
FROM python:3.11-slim AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN apt-get update && apt-get install -y --no-install-recommends make && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /app
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE Makefile ./
COPY src ./src
COPY web ./web
RUN pip wheel --no-cache-dir --no-deps -w /wheels .
# Without Node the hook builds a wheel that lacks it; a container is not to.
RUN python -m zipfile -l /wheels/mien-*.whl > names.txt && grep -q static/index.html names.txt

FROM python:3.11-slim
LABEL org.opencontainers.image.title="mien" org.opencontainers.image.licenses="MIT"
WORKDIR /app
# What mien needs, by digest and before mien: a change of the source installs none of it again.
COPY requirements/serve.txt ./
RUN pip install --no-cache-dir --require-hashes -r serve.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl
# A number, so that Kubernetes sees that it is not root.
USER 10001
ENV MIEN_CACHE=/tmp/mien PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--model", "default-int8"]
