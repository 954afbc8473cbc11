"""summary: parameters and bytes of the weights by hand, and wrong input as one line and exit code 2."""

from tests.helpers.command_calls import one_line


def test_summary_prints_layers_parameters_and_the_size_of_the_weights(call, case):
    code, out, err = call("summary", "--cfg", "tiny.cfg")
    assert (code, err) == (0, "")
    # by hand: 3*6*9 + 4*6, 6*12*9 + 4*12, 12*14 + 14 numbers, of which the running ones are no parameters
    numbers = (162 + 24) + (648 + 48) + (168 + 14)
    assert f"parameters {numbers - 2 * 6 - 2 * 12:,}\n" in out
    assert f".weights {20 + 4 * numbers:,} bytes\n" in out
    assert (case / "tiny.weights").stat().st_size == 20 + 4 * numbers
    assert "Total BFLOPS 0.000\n" in out  # 327,168 operations


def test_summary_stops_in_one_line(call, case):
    one_line(call("summary", "--cfg", "away.cfg"), "away.cfg: No such file")
    one_line(call("summary", "--cfg", "tiny.weights"), r"tiny.weights:\d+: found")
    one_line(call("summary", "--cfg", case), "Is a directory")


def test_explain_fits_the_terminal_and_stops_in_one_line(call, case, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    code, out, err = call("summary", "--cfg", "tiny.cfg", "--explain")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 70
    assert "\n  burn_in=2           updates of the warmup\n" in out
    one_line(call("summary", "--cfg", "tiny.weights", "--explain"), r"tiny.weights:\d+: found")
