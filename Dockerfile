# yolo-darknet serve on the CPU: not as root, on a read-only file system. docs/serve.md shows how to run it.
FROM python:3.12-slim AS build
# Where pip finds PyTorch without CUDA, which is 5 GB smaller: https://pytorch.org/get-started names the address.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY yolo yolo
COPY cfg cfg
COPY data data
COPY weights/README.md weights/README.md
RUN python -m venv /opt/yolo && /opt/yolo/bin/pip install --no-cache-dir '.[serve,video,openvino,export]'

FROM python:3.12-slim
# What OpenCV's wheels need of the system.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/yolo /opt/yolo
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin yolo
USER 10001:10001
WORKDIR /models
# Compiled networks and the choice of --engine auto go to /tmp, the only place that has to be writable; OpenVINO wants a
# home.
ENV HOME=/tmp PATH=/opt/yolo/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 YOLO_DARKNET_CACHE=/tmp/yolo-darknet
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["yolo-darknet", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--help"]
