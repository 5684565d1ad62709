"""scripts/bootstrap: what it installs when, what it says, and what an interruption leaves."""

import fcntl
import os
import signal
import time

import pytest


def pip_calls(world):
    return world.calls("python3 -m pip")


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_installs_only_missing_packages(world):
    present = [name for name in world.packages if name not in ("g++", "libspdlog-dev")]
    world.install_packages(present)
    assert world.run("bootstrap").returncode == 0
    installs = [call for call in world.calls("apt-get") if " install " in call]
    assert len(installs) == 1
    assert installs[0].endswith("install --no-install-recommends g++ libspdlog-dev")


def test_complete_system_needs_no_apt(world):
    (world.bin / "apt-get").unlink()
    assert world.run("bootstrap").returncode == 0


def test_without_root_prints_the_command(world):
    world.install_packages([name for name in world.packages if name not in ("git", "libgmock-dev")])
    world.stand_in("id", "echo 1000")
    run = world.run("bootstrap")
    assert run.returncode == 69
    assert "\nsudo apt-get install -y git libgmock-dev\n" in run.stderr_text
    assert run.stdout_text == ""
    assert world.calls("apt-get") == []
    assert not world.stamp.exists()


def test_uses_sudo_that_asks_no_password(world):
    world.install_packages([])
    world.stand_in("id", "echo 1000")
    world.stand_in("sudo", 'shift; exec "$@"')
    assert world.run("bootstrap").returncode == 0
    assert any(" install " in call for call in world.calls("apt-get"))


def test_without_apt_says_what_is_needed(world):
    world.install_packages([])
    (world.bin / "apt-get").unlink()
    run = world.run("bootstrap")
    assert run.returncode == 69
    assert "no apt-get" in run.stderr_text
    assert " ".join(world.packages) in run.stderr_text
    assert world.run("bootstrap", ADATAPE_PACKAGES="skip").returncode == 0


def test_failing_apt_names_the_step(world):
    world.install_packages([])
    world.stand_in("apt-get", 'echo "E: Unable to locate package"; [[ $* != *install* ]]')
    run = world.run("bootstrap")
    assert run.returncode == 1
    assert "E: Unable to locate package" in run.stderr_text
    assert "step 'installing packages' failed; run 'sudo apt-get install -y g++" in run.stderr_text
    assert (world.root / "build/logs/installing-packages.log").exists()


def test_without_usable_python(world):
    world.stand_in("python3", "exit 1")
    run = world.run("bootstrap")
    assert any(call.endswith("python3-venv") for call in world.calls("apt-get"))
    assert run.returncode == 69
    assert "no Python 3.10 to 3.14" in run.stderr_text


def test_takes_another_python_when_python3_is_too_old(world):
    (world.bin / "python3").rename(world.bin / "python3.11")
    world.stand_in("python3", "exit 1")
    run = world.run("bootstrap")
    assert run.returncode == 0
    assert f"making .venv with {world.bin}/python3.11" in run.stderr_text


@pytest.mark.parametrize("nvcc, arguments, complete", [
    (None, [], False),
    ("12.6", [], False),
    ("12.8", [], True),
    ("13.0", [], True),
    (None, ["--python-torch"], True),
])
def test_flavour(world, nvcc, arguments, complete):
    if nvcc:
        world.stand_in("nvcc", f"echo 'Cuda compilation tools, release {nvcc}, V{nvcc}.88'")
    assert world.run("bootstrap", *arguments).returncode == 0
    (call,) = pip_calls(world)
    if complete:
        assert call.endswith(f"-r {world.root}/requirements.txt")
    else:
        wheels = "torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 cmake=="
        assert f"--no-deps {wheels}" in call


def test_second_call_does_nothing(world):
    assert world.run("bootstrap").returncode == 0
    world.calls("")
    again = world.run("bootstrap")
    assert (again.returncode, again.stdout_text, again.stderr_text) == (0, "", "")
    assert world.calls("") == []


def test_builds_flavour_grows_and_stays(world):
    world.run("bootstrap")
    world.run("bootstrap", "--python-torch")
    assert len(pip_calls(world)) == 2
    world.run("bootstrap")
    world.run("bootstrap", "--python-torch")
    assert pip_calls(world) == []


@pytest.mark.parametrize("file, line, pips", [
    ("requirements.txt", "safetensors==0.9.0", 1), ("scripts/packages.txt", "libfoo-dev", 0)])
def test_changed_list_is_installed(world, file, line, pips):
    world.run("bootstrap")
    world.calls("")
    with (world.root / file).open("a") as stream:
        stream.write(f"{line}\n")
    assert world.run("bootstrap").returncode == 0
    calls = world.calls("")
    assert sum(call.startswith("python3 -m pip") for call in calls) == pips
    assert any(call.endswith("libfoo-dev") for call in calls) == (pips == 0)


def test_failing_pip_leaves_no_stamp(world):
    run = world.run("bootstrap", FAKE_PIP_FAILS="1")
    assert run.returncode == 1
    assert "No space left on device" in run.stderr_text
    assert "step 'installing torch for C++" in run.stderr_text
    assert not world.stamp.exists()
    world.calls("")
    assert world.run("bootstrap").returncode == 0
    assert world.calls("python3 -m venv")  # nobody knows what the failed one left
    assert world.stamp.exists()


def test_killed_install_is_made_anew(world):
    process = world.start("bootstrap", FAKE_PIP_SLEEPS="1")
    wait_for(lambda: world.calls_file.exists() and "-m pip" in world.calls_file.read_text())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not world.stamp.exists()
    world.calls("")
    assert world.run("bootstrap").returncode == 0
    assert world.calls("python3 -m venv")


def test_only_one_at_a_time(world):
    folder = os.open(world.root, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    process = world.start("bootstrap")
    assert "waiting for another run" in process.stderr.readline()
    assert world.calls("") == []
    os.close(folder)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_own_torch(world):
    own = world.bin / "python3"
    run = world.run("bootstrap", ADATAPE_PYTHON=str(own))
    assert run.returncode == 0
    (call,) = pip_calls(world)  # no CMake here, so .venv has it; but no second torch
    assert "cmake==" in call and "torch" not in call
    assert f"python={own}\n" in world.stamp.read_text()


def test_own_torch_and_cmake_install_nothing(world):
    world.stand_in("cmake", "echo cmake version 3.28.3")
    world.stand_in("ninja", "echo 1.11.1")
    assert world.run("bootstrap", ADATAPE_PYTHON="python3").returncode == 0
    assert pip_calls(world) == []
    assert f"cmake={world.bin}/cmake\n" in world.stamp.read_text()


def test_old_cmake_is_not_used(world):
    world.stand_in("cmake", "echo cmake version 3.25.1")
    world.stand_in("ninja", "echo 1.11.1")
    assert world.run("bootstrap", ADATAPE_PYTHON="python3").returncode == 0
    assert f"cmake={world.bin}/cmake\n" not in world.stamp.read_text()


@pytest.mark.parametrize("python, torch, words", [
    ("python3", "2.10.0", "has torch 2.10.0, but torch 2.11 is needed"),
    ("nowhere/python", "2.11.0", "is not a program"),
])
def test_unfit_own_torch(world, python, torch, words):
    run = world.run("bootstrap", ADATAPE_PYTHON=python, FAKE_TORCH=torch)
    assert run.returncode == 2
    assert words in run.stderr_text
    assert not world.stamp.exists()


def test_arguments(world):
    assert world.run("bootstrap", "--fast").returncode == 2
    assert "scripts/bootstrap --python-torch" in world.run("bootstrap", "--help").stdout_text
    assert world.calls("") == []
