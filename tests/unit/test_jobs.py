"""What the frame around every script hands to it."""

from types import SimpleNamespace

from reset_tuning.jobs import run


def test_a_job_of_several_nodes_is_told_all_its_gpus() -> None:
    """Its resource `gpu` is 0: the GPUs are asked for node by node."""
    told = {}

    def main(*, gpu: int, nodes: int) -> None:
        told.update(gpu=gpu, nodes=nodes)

    resources = {"gpu": 0, "gpus_per_node": 8, "nodes": 2}
    none = {name: {} for name in ("input", "output", "params")}
    run(main, SimpleNamespace(**none, resources=resources, threads=1, log=[], rule="train"))
    assert told == {"gpu": 16, "nodes": 2}
