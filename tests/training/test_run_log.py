from livehead.training.curves import plot_training_curves
from livehead.training.run_log import RunLog, read_rows


def test_rows_are_read_back_and_a_resumed_run_appends_to_them(tmp_path):
    path = tmp_path / "train.csv"
    RunLog(path, ("samples", "loss", "model")).append_row({"samples": 4, "loss": 0.123456789})
    RunLog(path, ("samples", "loss", "model")).append_row({"samples": 8, "loss": 0.1, "model": "a", "other": 1})
    assert read_rows(path) == [
        {"samples": "4", "loss": "0.123457", "model": ""},
        {"samples": "8", "loss": "0.1", "model": "a"},
    ]


def test_a_log_without_a_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunLog(None, ("samples",)).append_row({"samples": 1})
    assert not list(tmp_path.iterdir())


def test_the_curves_of_a_run_are_one_figure(tmp_path):
    train = RunLog(tmp_path / "train.csv", ("samples", "loss"))
    val = RunLog(tmp_path / "val.csv", ("samples", "model", "psnr"))
    for samples in (2, 4):
        train.append_row({"samples": samples, "loss": 1 / samples})
        val.append_row({"samples": samples, "model": "model", "psnr": 20.0 + samples})
    val.append_row({"samples": 0, "model": "copy", "psnr": 19.0})
    plot_training_curves(tmp_path, ("loss",), ("psnr",))
    assert (tmp_path / "curves.png").stat().st_size > 1000
