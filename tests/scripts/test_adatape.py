"""scripts/adatape: sets up, builds once, and then is the program itself."""


def test_first_call_builds_and_runs(world, tmp_path):
    process = world.start("adatape", "train", "a b.yaml", cwd=tmp_path)
    out, messages = process.communicate(timeout=60)
    assert out == f"in {tmp_path}:\n[train][a b.yaml]"  # nothing else: it can be piped
    assert "[1/1] Linking" in messages and "adatape: built adatape in build in" in messages
    assert process.returncode == 0


def test_later_calls_only_run(world):
    world.run("adatape")
    world.calls("")
    again = world.run("adatape")
    assert again.stderr_text == ""
    calls = world.calls("")
    assert len(calls) == 1 and calls[0].startswith("fake-ninja")


def test_exit_code_is_the_programs(world):
    assert world.run("adatape", FAKE_EXIT="75").returncode == 75


def test_build_error_is_shown(world):
    run = world.run("adatape", FAKE_ERROR="expected ';'")
    assert run.returncode == 1
    assert "x.cpp:1: error: expected ';'" in run.stderr_text
    log = world.root / "build/logs/build.log"
    assert str(log) in run.stderr_text and "expected ';'" in log.read_text()


def test_bootstraps_exit_code_comes_through(world):
    world.install_packages([])
    world.stand_in("id", "echo 1000")
    assert world.run("adatape").returncode == 69


def test_other_build_folder_is_relative_to_the_callers(world, tmp_path):
    process = world.start("adatape", cwd=tmp_path, ADATAPE_BUILD="elsewhere")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "elsewhere/adatape").exists()
    assert not (world.root / "build").exists()


def test_moved_project_is_configured_anew(world):
    world.run("adatape")
    world.calls("")
    world.root = world.root.rename(world.root.with_name("moved project"))
    assert world.run("adatape").returncode == 0
    (call,) = world.calls("fake-cmake")
    assert "--fresh" in call


def test_through_a_link(world, tmp_path):
    link = tmp_path / "adatape"
    link.symlink_to(world.root / "scripts/adatape")
    assert world.run(link).stdout_text.startswith("in /:")


def test_jobs_can_be_set(world):
    world.run("adatape", ADATAPE_JOBS="3")
    assert any(" -j 3 " in call for call in world.calls("fake-ninja"))
