# The HTTP service: unprivileged, nothing to write, no compiler. Build the page first (`make web`) to have it inside.
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt ".[serve]" && useradd --system --no-create-home mien
USER mien
ENV MIEN_CACHE=/tmp/mien PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--model", "default-int8"]
