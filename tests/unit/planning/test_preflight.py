"""What a machine must have: verdicts and sentences, without any GPU."""

import logging
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import merged, normalise
from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment
from reset_tuning.planning import models, preflight
from reset_tuning.planning.preflight import (
    FAILED,
    OK,
    TRAINING_PACKAGES,
    WARNING,
    Check,
    Devices,
    disk_check,
    experiment_checks,
    gpu_checks,
    judge_check,
    model_check,
    require,
    require_for_model,
    require_for_training,
    source_check,
    training_disk_check,
    version_check,
)

EIGHT = Devices(("A100",) * 8, has_bfloat16=True)
TWO_OLD = Devices(("V100",) * 2, has_bfloat16=False)


def miniature() -> dict:
    """The miniature's configuration."""
    config: dict = {}
    for name in ("config.yaml", "config/mini.yaml"):
        config = merged(config, yaml.safe_load((ROOT / name).read_text()))
    normalise(config)
    return config


@pytest.fixture(autouse=True)
def _internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host answers but loopback, which is asked: no test leaves the machine."""
    ask = preflight.answers
    monkeypatch.setattr(preflight, "answers", lambda host: "127.0.0.1" not in host or ask(host))


@pytest.fixture
def address() -> Iterator[str]:
    """An address of this machine that answers 501 to all, as one whose root has no page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def verdicts(checks: list[Check]) -> list[str]:
    return [check.verdict for check in checks]


@pytest.mark.parametrize(
    ("devices", "asked", "cpu_ranks", "expected"),
    [
        (EIGHT, 8, 0, [OK, OK]),
        (EIGHT, 1, 0, [OK, OK]),  # one machine without shares of GPUs
        (Devices(), 8, 0, [FAILED]),
        (Devices(), 8, 1, [OK]),
        (TWO_OLD, 8, 0, [FAILED]),
        (TWO_OLD, 2, 0, [OK, FAILED]),
        (TWO_OLD, 8, 1, [WARNING, FAILED]),
        (Devices(error="torch cannot ask for them (CUDA error)"), 1, 0, [FAILED]),
        (Devices(), 0, 0, [OK]),
    ],
)
def test_as_many_gpus_as_asked_for(
    devices: Devices, asked: int, cpu_ranks: int, expected: list[str]
) -> None:
    assert verdicts(gpu_checks(devices, asked, ["bfloat16"], cpu_ranks=cpu_ranks)) == expected


def test_float32_asks_for_no_bfloat16() -> None:
    assert verdicts(gpu_checks(TWO_OLD, 2, ["float32"], cpu_ranks=0)) == [OK]


def test_the_sentences_say_what_to_do() -> None:
    (cpu,) = gpu_checks(Devices(), 8, [], cpu_ranks=1)
    assert "CPU" in cpu.detail
    (few,) = gpu_checks(TWO_OLD, 8, [], cpu_ranks=0)
    assert "2 of 8" in few.detail and "--resources gpu=2" in few.detail
    (none,) = gpu_checks(Devices(), 8, [], cpu_ranks=0)
    assert "launch.cpu_ranks" in none.detail


def test_a_driver_without_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "GPU_NODES", (str(tmp_path),))
    monkeypatch.setattr(preflight, "_PROBE", "raise RuntimeError('driver too old')")
    devices = preflight.visible_devices()
    assert devices.names == () and "driver too old" in str(devices.error)
    monkeypatch.setattr(
        preflight, "_PROBE", "print('noise'); print('[[\"A100\", \"A100\"], true]')"
    )
    assert preflight.visible_devices() == Devices(("A100", "A100"), has_bfloat16=True)


def test_disk_that_is_too_small_stops_a_job(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    assert disk_check(missing, 1.0, "a training").verdict == OK
    full = disk_check(missing, 1e18, "a training")
    assert full.verdict == FAILED and "make room" in full.detail


def test_a_7b_training_needs_room_for_two_states_and_three_sets_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.74e9 x (2 x 14 + 3 x 2) bytes = 229 GB."""
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: type("U", (), {"free": 228e9})())
    short = training_disk_check(tmp_path, 6.74e9, "bfloat16")
    assert short.verdict == FAILED and "229 GB" in short.detail
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: type("U", (), {"free": 230e9})())
    assert training_disk_check(tmp_path, 6.74e9, "bfloat16").verdict == OK


def test_a_model_is_a_folder_with_weights_or_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_check("base", "resources/mini/base").verdict == OK
    assert model_check("base", str(tmp_path)).verdict == FAILED
    mistyped = model_check("metric summac-zs", "resources/mini/nope")
    assert mistyped.verdict == FAILED and "resources/mini/nope is no folder" in mistyped.detail
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    absent = model_check("base", "lmsys/vicuna-7b-v1.3")
    assert absent.verdict == FAILED
    assert "HF_HUB_OFFLINE" in absent.detail and "hf download lmsys/vicuna-7b-v1.3" in absent.detail


def test_a_model_with_broken_weights_is_told_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree("resources/mini/base", tmp_path / "own"))
    (own / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    check = model_check("base", str(own))
    assert check.verdict == FAILED and f"{own}/model.safetensors only names" in check.detail
    monkeypatch.setattr(preflight, "cached_folder", lambda _: own)
    check = model_check("base", "someone/model")
    assert check.verdict == FAILED and f"{own}/model.safetensors only names" in check.detail
    with pytest.raises(InputError, match="weights: .* only names"):
        require_for_model(str(own), "float32", gpus=0, cpu_ranks=1)


def test_a_model_must_read_texts_of_the_longest_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_check("base", "resources/mini/base", max_length=256).verdict == OK
    check = model_check("base", "resources/mini/base", max_length=300)
    sentence = "has 256 positions, fewer than prompt.max_length 300: lower prompt.max_length to 256"
    assert check.verdict == FAILED and sentence in check.detail
    settings = tmp_path / "run.json"
    settings.write_text('{"dtype": "float32", "max_length": 300}')
    with pytest.raises(InputError, match=sentence):
        require_for_training("resources/mini/base", settings, tmp_path, gpus=0, cpu_ranks=1)
    own = Path(shutil.copytree("resources/mini/base", tmp_path / "own"))
    monkeypatch.setattr(preflight, "cached_folder", lambda _: own)
    assert model_check("base", "someone/model", max_length=300).verdict == FAILED
    for unsaid, positions in (("{}", OK), ('{"n_positions": 299}', FAILED)):
        (own / "config.json").write_text(unsaid)
        assert model_check("base", str(own), max_length=300).verdict == positions


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", unreachable)
    check = model_check("base", "nobody/model-that-is-not-there")
    assert check.verdict == FAILED and "ConnectionError" in check.detail


def test_versions_are_those_of_the_lock(tmp_path: Path) -> None:
    assert version_check(TRAINING_PACKAGES, whole=True).verdict == OK
    lock = tmp_path / "requirements.lock"
    assert version_check([], lock).verdict == WARNING  # a copy of the workflow without it
    lock.write_text("# a comment\nPyYAML==0.0.1\nnot_a_package==1.0\n")
    other = version_check(["PyYAML"], lock, whole=True)
    assert other.verdict == WARNING and "in place of 0.0.1" in other.detail
    assert "1 of it not in this environment" in other.detail


@pytest.mark.parametrize("whole", [False, True])
def test_a_package_that_a_job_needs_must_be_there(tmp_path: Path, whole: bool) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("PyYAML==0.0.1\nnot_a_package==1.0\n")
    absent = version_check(["not-a-package"], lock, whole=whole)
    assert absent.verdict == FAILED and "not-a-package not installed" in absent.detail


def test_a_judge_needs_its_key_only_when_it_is_asked() -> None:
    live = {"api_key_variable": "A_KEY"}
    assert judge_check("gpt-4", live, {}).verdict == FAILED
    assert judge_check("gpt-4", live, {"A_KEY": "secret"}).verdict == OK
    assert judge_check("gpt-4", live, {"A_KEY": "secret\nkey"}).verdict == FAILED
    assert "secret" not in judge_check("gpt-4", live, {"A_KEY": "secret"}).detail
    assert judge_check("gpt-4", live | {"mode": "replay"}, {}).verdict == OK
    assert judge_check("gpt-4", {"server": "mini"}, {}).verdict == OK


def test_data_is_there_or_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = {"type": "hub", "id": "some/data", "files": {"train": ["*"]}}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert source_check("dolly", hub, tmp_path).verdict == OK
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert source_check("dolly", hub, tmp_path).verdict == FAILED
    (tmp_path / "dolly").mkdir()
    (tmp_path / "dolly" / "manifest.json").write_text("{}")
    assert source_check("dolly", hub, tmp_path).verdict == OK
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path))
    local = {"type": "local", "directory": "nowhere", "files": {"test": ["*.json"]}}
    assert source_check("bioasq", local, tmp_path).verdict == FAILED


def test_what_does_not_answer_is_a_warning(address: str, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/v1"
    assert judge_check("own", {"base_url": address}, {}).verdict == OK
    silent = judge_check("own", {"base_url": nobody}, {})
    assert silent.verdict == WARNING and "http://127.0.0.1:9 does not answer" in silent.detail
    assert judge_check("own", {"base_url": nobody, "mode": "replay"}, {}).verdict == OK
    for url, expected in ((f"{address}/a.json", OK), (nobody, WARNING)):
        source = {"type": "url", "files": {"test": [{"url": url}]}}
        assert source_check("koala_eval", source, tmp_path).verdict == expected


@pytest.mark.parametrize(
    ("endpoint", "verdict"),
    [
        ({"base_url": "http://127.0.0.1:9/v1", "model": "{run}-{seed}-{checkpoint}"}, WARNING),
        ({"base_url": "https://example.org", "api_key_variable": "NO_SUCH_KEY"}, FAILED),
        ({"server": {"command": "serve --port {port}"}}, OK),
    ],
)
def test_an_endpoint_that_generates_is_asked_as_judges_are(
    endpoint: dict, verdict: str, tmp_path: Path
) -> None:
    config = miniature()
    config["generation"] |= {"backend": "endpoint", "endpoint": endpoint}
    checks = experiment_checks(config, tmp_path, gpus=0, cpu_ranks=1)
    assert [check.verdict for check in checks if check.name == "generation"] == [verdict]


def test_a_test_set_that_nothing_compares_with_training_is_a_warning(
    config: dict, tmp_path: Path
) -> None:
    normalise(config)
    assert Experiment(config).unguarded_test_sets() == []
    config["datasets"]["nq"]["filters"] = ["no_answer", "seen_in_training"]
    assert Experiment(config).unguarded_test_sets() == []
    mini = miniature()
    *_, found = experiment_checks(mini, tmp_path, gpus=0, cpu_ranks=1)
    assert (found.name, found.verdict) == ("test sets", WARNING)
    assert "no training set: nq, bioasq, searchqa, ms_marco, cnn" in found.detail
    for name in Experiment(mini).unguarded_test_sets():
        mini["datasets"][name]["filters"] = ["seen_in_training"]
    *_, found = experiment_checks(mini, tmp_path, gpus=0, cpu_ranks=1)
    assert (found.name, found.verdict) == ("test sets", OK)


def test_a_failed_check_is_one_sentence_after_the_table(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    require([Check("GPUs", OK, "8 of 8"), Check("versions", WARNING, "torch 2.12")])
    with pytest.raises(InputError, match="cannot run here: disk: full; judge: no key"):
        require([Check("disk", FAILED, "full"), Check("judge", FAILED, "no key")])
    assert "GPUs" in caplog.text and "warning" in caplog.text


def test_a_job_of_a_gpu_experiment_stops_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preflight, "visible_devices", Devices)
    require_for_model("resources/mini/base", "float32", gpus=1, cpu_ranks=1)
    with pytest.raises(InputError, match="0 of 1 GPUs are seen"):
        require_for_model("resources/mini/base", "float32", gpus=1, cpu_ranks=0)


def test_a_training_that_goes_on_needs_room_for_what_it_has_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state and its weights lie there already; best and last may be one file."""
    settings = tmp_path / "run.json"
    settings.write_text('{"dtype": "float32", "max_length": 256}')
    output = tmp_path / "trainer"
    (output / "checkpoint-9").mkdir(parents=True)
    (output / "checkpoint-9" / "state.pt").write_bytes(bytes(1000))
    (output / "best").hardlink_to(output / "checkpoint-9" / "state.pt")
    asked: list[float] = []
    monkeypatch.setattr(preflight, "model_size", lambda base: 100.0)
    monkeypatch.setattr(preflight, "disk_check", lambda _, need, what: asked.append(need))
    monkeypatch.setattr(preflight, "require", lambda checks: None)
    for folder in (tmp_path / "new", output):
        preflight.require_for_training("base", settings, folder, gpus=0, cpu_ranks=1)
    assert asked[0] - asked[1] == 1000


def test_a_training_of_a_hub_model_needs_disk_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its weights count where the cache has them; else its name says how large it is."""
    settings = tmp_path / "run.json"
    settings.write_text('{"dtype": "bfloat16", "max_length": 256}')
    monkeypatch.setattr(preflight, "model_check", lambda label, source, _: Check(label, OK, source))
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: type("U", (), {"free": 1e9})())

    def train(base: str) -> None:
        require_for_training(base, settings, tmp_path / "trainer", gpus=0, cpu_ranks=1)

    with pytest.raises(InputError, match="a training needs 238 GB"):
        train("lmsys/vicuna-7b-v1.3")
    monkeypatch.setattr(models, "cached_folder", lambda _: Path("resources/mini/base"))
    train("lmsys/vicuna-7b-v1.3")
