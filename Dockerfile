# For systems without Linux: docker build -t reset-tuning . && docker run --rm -v "$PWD/results:/workflow/results" reset-tuning
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /workflow
COPY . .
RUN make .venv
CMD ["make", "mini"]
