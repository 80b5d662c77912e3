# Input and parameter functions of generate.smk.

GENERATION = config["generation"]
GENERATION_ENDPOINT = GENERATION.get("endpoint", {})
GENERATION_SERVER = GENERATION_ENDPOINT.get("server", {})
GENERATION_ENVIRONMENT = (
    "../envs/vllm.yaml" if GENERATION["backend"] == "vllm" else "../envs/train.yaml"
)

# What decides the outputs beside the model; a server of the job's own is known by its command.
GENERATION_BACKEND = {"kind": GENERATION["backend"]}
if GENERATION["backend"] == "endpoint":
    GENERATION_BACKEND |= {
        key: GENERATION_ENDPOINT[key]
        for key in ("base_url", "model", "prompt_as")
        if key in GENERATION_ENDPOINT
    }
    GENERATION_BACKEND |= {key: GENERATION_SERVER[key] for key in ("command",) if GENERATION_SERVER}

# What decides how fast they come; changes rebuild nothing.
GENERATION_MEANS = {
    "batch_tokens": GENERATION["batch_tokens"],
    "cpu_ranks": GENERATION["cpu_ranks"],
    "gpu_memory": str(GENERATION["gpu_memory"]),
    "concurrency": GENERATION_ENDPOINT.get("concurrency", 16),
    "api_key_variable": GENERATION_ENDPOINT.get("api_key_variable", "none"),
    "ready_minutes": GENERATION_SERVER.get("ready_minutes", 30),
}
GENERATION_GPUS = GENERATION_SERVER.get("gpus", 0) if GENERATION["backend"] == "endpoint" else 1


def generating_weights(wildcards):
    return Weights(wildcards.run, int(wildcards.seed), wildcards.checkpoint)


def generating_files(wildcards):
    return weights_files(generating_weights(wildcards))


def sampled_files(wildcards):
    return weights_files(Weights(wildcards.run, int(wildcards.seed), "best"))


def generating_path(wildcards, input):
    return model_path(input.model, experiment.root_model(wildcards.run))


def decoding_spec(wildcards):
    return config["decodings"][wildcards.decoding]
