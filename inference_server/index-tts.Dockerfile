# The inference server with an interpreter for IndexTTS's code. Build from the repository's root:
#   docker build -f inference_server/index-tts.Dockerfile -t ttsfleet/tts-server-index-tts .
# It holds PyTorch with CUDA and what the code imports. Neither the code nor the weights of IndexTTS are in it:
# both are mounted. SERVER is the image of inference_server/Dockerfile; both have the Python of the lock file, 3.11.
ARG SERVER=ttsfleet/tts-server
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS engine
WORKDIR /src
COPY requirements/engine-build.txt requirements/index-tts.txt requirements/
# Some packages are published as sources only: they are built by pinned tools, which stay out of the final image.
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/engine \
 && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements/engine-build.txt \
 && /opt/build/bin/pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --require-hashes \
      --wheel-dir /wheels -r requirements/index-tts.txt \
 && /opt/build/bin/pip --python /opt/engine/bin/python install --quiet --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl

FROM ${SERVER}
COPY --from=engine /opt/engine /opt/engine
# The worker's half of this project, without the server's packages: a link, so that both halves are one version.
USER 0
RUN ln -s /opt/ttsfleet/lib/python3.11/site-packages/tts_server /opt/engine/lib/python3.11/site-packages/tts_server
USER 65532:65532
ENV TTSFLEET_ENGINE_PYTHON=/opt/engine/bin/python
