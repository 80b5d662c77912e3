#!/usr/bin/env bash
# summac pins an obsolete huggingface-hub, so it is installed without its dependencies.
set -euo pipefail
pip install --no-deps summac==0.0.4
