"""The page: complete, escaped, the same bytes each time, and whole when parts are missing."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from tests.repository import ROOT

from ernie_m.catalogue.deviations import DEVIATIONS, OPEN_CHOICES
from ernie_m.config.corpora import DealSettings
from ernie_m.config.load import read
from ernie_m.config.model import InitialiseSettings
from ernie_m.config.pretrain import BacktranslateSettings, StageSettings
from ernie_m.config.report import ReportSettings
from ernie_m.config.tokenizer import TrainSettings
from ernie_m.config.xtreme import PredictSettings
from ernie_m.errors import UserError
from ernie_m.job import Job
from ernie_m.pipeline import plan
from ernie_m.records.digest import file_sha256
from ernie_m.report import build, graph
from ernie_m.report.comparison import groups
from ernie_m.report.evidence import Evidence
from ernie_m.report.figures import Curve, losses
from ernie_m.report.page import prose
from ernie_m.report.scores import read_scores, tables
from ernie_m.report.sections.choices import choices
from ernie_m.report.svg import apart, ticks

FOLDER = Path("results/default/report_build")
SVG = "{http://www.w3.org/2000/svg}"
OUTPUTS = {
    "report": "report.html",
    "scores": "scores.csv",
    "losses": "losses.csv",
    "metrics": "metrics.json",
    "lineage": "lineage.jsonl",
}


def write(run, **settings):
    """The outputs as text, by name."""
    job = Job(
        module="ernie_m.report.build",
        instance="",
        settings=ReportSettings(**settings),
        seed=1,
        threads=1,
        input_paths={name: paths for name, paths in run.inputs.items() if paths},
        output_paths={name: [FOLDER / file] for name, file in OUTPUTS.items()}
        | {"figures": [FOLDER / f"figures/{name}.svg" for name in run.figures]},
    )
    (FOLDER / "figures").mkdir(parents=True, exist_ok=True)
    build.run(job)
    found = {name: job.output(name).read_text() for name in OUTPUTS}
    paths = zip(run.figures, job.outputs("figures"), strict=True)
    return found | {"figures": {name: path.read_text() for name, path in paths}}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn; collects links."""

    VOID = ("meta", "br", "link", "hr", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def check_page(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser.links


def test_every_score_is_on_the_page_with_its_file(run):
    written = write(run)
    page = written["report"]
    rows = list(csv.DictReader(written["scores"].splitlines()))
    assert {row["task"] for row in rows} == set(run.tasks)
    assert {row["stage"] for row in rows if row["task"] == "standin_mining"} == {
        "initialise", "camlm", "btmlm", "string_overlap",
    }  # fmt: skip
    cells = set(re.findall(r'href="([^"]+scores\.json)" data-from[^>]+>([0-9.]+)', page))
    for row in rows:
        if row["language"] == "transfer" and row["task"] in ("standin_retrieval", "standin_mining"):
            continue  # no English there, so it is the average
        shown = f"{float(row['value']):.1f}"
        place = f"{row['variant']}/{row['stage']}/seed{row['seed']}"
        file = f"../xtreme_score/{row['task']}/{place}/scores.json"
        if row["variant"] == "baseline":
            file = f"../xtreme_baseline/{row['task']}/scores.json"
        assert (file, shown) in cells, row
    for link in check_page(page):
        assert link.startswith("#") or link in OUTPUTS.values() or (FOLDER / link).is_file()


def test_figures_are_those_of_the_page_and_need_no_page(run):
    written = write(run)
    drawn = set()
    for name, text in written["figures"].items():
        root = ElementTree.fromstring(text)
        assert (
            root.tag == f"{SVG}svg" and "var(" not in text and "http" not in text.split(">", 1)[1]
        )
        styles = root.find(f"{SVG}style").text
        classes = {word for part in root.iter() for word in part.get("class", "").split()}
        known = set(re.findall(r"\.([a-z-]+)", styles))
        assert classes <= known | {"phase-checkpoints"}, name
        title = " ".join(part.text for part in root.iter() if part.get("class") == "title")
        assert title == root.get("aria-label")
        if "no numbers" in text:
            continue
        drawn.add(name)
        # It begins as it does in the page, to the letter.
        inside = text.split('<g transform="translate(0 ')[1].split(">\n", 1)[1]
        assert inside[:1000].rpartition("\n")[0] in written["report"]
    assert set(run.figures) - drawn == {"groups"}  # of stand-ins XTREME has no means


def test_a_configuration_names_the_figures():
    laptop = plan.figures(read(base=ROOT / "config/config.yaml"))
    assert len(laptop) == len(set(laptop)) and {"pipeline", "loss-camlm"} <= set(laptop)
    assert {"layers-standin_retrieval", "steps-standin_tagging"} <= set(laptop)
    released = plan.figures(read(ROOT / "config/released.yaml", base=ROOT / "config/config.yaml"))
    assert not [name for name in released if name.startswith("loss")]


def test_every_record_is_in_the_file_for_git_as_it_is(run):
    lines = write(run)["lineage"].splitlines()
    records = [json.loads(path.read_text()) for path in run.inputs["records"]]
    assert len(lines) == len(records) > 10
    assert all(json.loads(line) in records for line in lines)


def test_a_run_that_starts_from_a_checkpoint_says_so(run):
    alone = write(run)["report"]
    Path("xlmr").mkdir()
    Path("xlmr/model.safetensors").write_text("weights")
    source = {"source": ["xlmr/model.safetensors"]}
    run.job("pretrain_adopt", "ernie_m", inputs=source, model={"model.safetensors": "n"})
    page, sha256 = write(run)["report"], file_sha256(Path("xlmr/model.safetensors"))
    assert f"xlmr/model.safetensors, sha256 {sha256[:12]};" in page and "xlmr" not in alone
    assert "Random weights" in alone and "Random weights" not in page
    check_page(page)


def test_losses_go_on_from_stage_to_stage(run):
    rows = list(csv.DictReader(write(run)["losses"].splitlines()))
    assert [row["stage"] for row in rows] == ["camlm"] * 31 + ["btmlm"] * 31
    tokens = [int(row["tokens"]) for row in rows]
    assert tokens == sorted(tokens)
    assert not rows[0]["btmlm"] and float(rows[-1]["btmlm"]) > 0


def test_it_needs_nothing_from_elsewhere(run):
    page = write(run)["report"]
    assert not re.search(r"<link|@import|url\((?!#)|src=|fetch\(|import\(", page)
    assert re.findall("<script[^>]*>", page) == [
        '<script type="application/json" id="lineage-data">', "<script>",
    ]  # fmt: skip
    assert str(Path.cwd()) not in page
    assert "Never set these numbers beside published XTREME" in page


def test_the_same_bytes_again(run):
    first = write(run)
    for paths in run.inputs.values():
        paths.reverse()
    assert write(run) == first


def test_text_in_shards_is_counted_by_corpus(shards):
    page = write(shards)["report"]
    check_page(page)
    words = " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.S).split())
    assert "Languages en zh de Training text 48 monolingual rows, 16 sentence pairs" in words
    # Read, kept, share, and what filter and selection dropped.
    rows = [f"{name} 20 16 20.0 % 2 2" for name in ("mono-en", "mono-zh", "mono-de")]
    assert " ".join([*rows, "parallel-en-de 20 16 20.0 % 2 2"]) in words
    assert "parallel-en-de too short &lt;b&gt; / &lt;b&gt;" in words
    # A ready vocabulary tells nothing of languages; eight jobs packed all tokens.
    unknown = 4 * "\N{EN DASH} "
    assert " ".join(f"{code} {unknown}2 002" for code in ("en", "zh", "de")) in words
    assert "tokenizer_pack 8 32 s 8 808" in words
    assert "encoding 76 000 96 1 840 000 2 480 0.1 %" in words


def test_text_from_data_is_escaped(run):
    path = run.path("corpora_filter", "rows-de/0", "stats.json")
    stats = json.loads(path.read_text())
    stats["examples"] = {"too short": [{"id": "x", "text": "<script>alert(1)</script> & co"}]}
    path.write_text(json.dumps(stats))
    page = write(run, title="<b>A & B</b>", note="{{ 7 * 7 }}")["report"]
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>A" not in page and "{{ 7 * 7 }}" in page
    check_page(page)


def test_the_summary_has_averages_beside_the_best_baseline(run):
    numbers = json.loads(write(run)["metrics"])
    retrieval = numbers["standin_retrieval"]
    assert retrieval["initialise"] < retrieval["best_baseline"] < retrieval["btmlm"]
    assert numbers["standin_classification"]["best_baseline"] > 40  # string overlap, not chance
    assert set(numbers["valid_loss"]) == {"camlm", "btmlm"}
    assert numbers["valid_loss"]["btmlm"]["btmlm"] < 5


def test_seeds_are_averaged_with_their_deviation(make_run):
    written = write(make_run(variant=False, seeds=(1, 2, 3)))
    assert "standard deviation over seeds" in written["report"]
    assert "±0.4" in written["report"]
    assert 'id="variants"' not in written["report"]
    seeds = {row["seed"] for row in csv.DictReader(written["scores"].splitlines())}
    assert seeds == {"", "1", "2", "3"}


def test_replicates_are_averaged_after_their_seeds(make_run):
    written = write(make_run(variant=True, seeds=(1, 2), replicates=(7,)))
    assert "standard deviation over replicates" in written["report"]
    rows = [
        row
        for row in csv.DictReader(written["scores"].splitlines())
        if (row["task"], row["stage"], row["language"]) == ("standin_retrieval", "camlm", "average")
        and row["variant"].startswith("ernie_m")
    ]
    assert sorted((row["variant"], row["replicate"]) for row in rows) == [
        *[("ernie_m", "1")] * 2,
        *[("ernie_m-r7", "7")] * 2,
    ]
    own, other = (
        fmean(float(row["value"]) for row in rows if row["replicate"] == seed) for seed in "17"
    )
    metrics = json.loads(written["metrics"])["standin_retrieval"]
    assert metrics["camlm"] == pytest.approx(fmean([own, other]))
    assert metrics["camlm_deviation"] == pytest.approx(stdev([own, other]))
    assert ">mmlm_tlm<" in written["report"]
    assert ">mmlm_tlm-r7<" not in written["report"]  # no variant of its own


def test_published_scores_stand_beside_the_same_task(make_run):
    means = (0.30, 0.40, 0.50)
    tasks = {"pawsx": ("classification", "accuracy", means, {"majority": 0.45})}
    page = write(make_run(seeds=(1, 2), tasks=tasks))["report"]
    own = json.loads(
        Path("results/default/xtreme_score/pawsx/ernie_m/btmlm/seed1/scores.json").read_text()
    )
    second = json.loads(
        Path("results/default/xtreme_score/pawsx/ernie_m/btmlm/seed2/scores.json").read_text()
    )
    rows = {
        re.sub("<.*?>", "", head): re.sub("<.*?>", " ", cells).split()
        for head, cells in re.findall(r"<tr[^>]*><th>(.*?)</th>(.*?)</tr>", page, re.DOTALL)
    }
    # The average and that without English, then their gap and the languages in the run's order.
    large = rows["ERNIE-M large, trained on English (authors: README)"]
    assert large[:5] == ["89.5", "88.5", "+7.5", "96.0", "91.9"]
    assert rows["mmBERT base, trained on English (sibling: mmBERT)"][0] == "87.7"
    german = (own["languages"]["de"]["accuracy"] + second["languages"]["de"]["accuracy"]) / 2
    assert f"{german - 91.9:+.1f}" in rows["BTMLM less ERNIE-M large"]
    assert sum("less" in name for name in rows) == 1, "others were trained on other text"
    assert "Stand-in tasks" not in page
    assert page.count("<th>XLM-R large, trained on English ") == 1, "once, not for variants too"


def test_a_stand_in_is_beside_nothing_published(run):
    page = write(run)["report"]
    assert "ERNIE-M large" not in page and "XTREME by group" not in page


def test_groups_of_xtreme_are_means_of_whole_groups_only(make_run):
    means = (0.30, 0.40, 0.50)
    tasks = {
        "xnli": ("classification", "accuracy", means, {"majority": 0.33}),
        "pawsx": ("classification", "accuracy", means, {"majority": 0.45}),
        "udpos": ("tagging", "f1", means, {"word_list": 0.2}),
    }
    make_run(tasks=tasks)
    run = make_run(name="other", tasks=tasks)
    evidence = Evidence.read(run.inputs["records"], run.inputs["scores"])
    rows = read_scores(evidence)
    found = groups(tables(rows, {}, []))
    assert found.keys() == {"initialise", "camlm", "btmlm"}
    assert all(means.keys() == {"classification"} for means in found.values())
    averages = [
        row.value
        for row in rows
        if row.language == "average"
        and row.stage == "btmlm"
        and row.variant == "ernie_m"
        and row.task in ("xnli", "pawsx")
    ]
    assert found["btmlm"]["classification"] == pytest.approx(sum(averages) / 2)
    assert "XTREME by group" in write(run)["report"]


def test_variants_stand_beside_the_main_variant(run):
    page = write(run)["report"]
    assert "mmlm_tlm" in page and "MMLM + TLM" in page
    tokens = re.findall(r"<tr><th>(ernie_m|mmlm_tlm)</th><td[^>]*>([\d\s]+)</td>", page)
    assert [(name, re.sub(r"\s", "", number)) for name, number in tokens] == [
        ("ernie_m", "9216000"),  # both stages
        ("mmlm_tlm", "6144000"),
    ]
    assert "camlm.objectives.tlm" in page


@pytest.mark.parametrize(
    "missing", ["scores", "baselines", "curves", "metrics", "stats", "manifests"]
)
def test_a_part_that_is_missing_leaves_the_rest(run, missing):
    run.inputs[missing] = []
    check_page(write(run)["report"])


def test_a_file_without_a_record_is_refused(run):
    stray = Path("results/default/xtreme_score/standin_qa/x/scores.json")
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    run.give("scores", [stray])
    with pytest.raises(UserError, match="No record claims results/default/xtreme_score/standin_qa"):
        write(run)


def test_a_damaged_file_is_named(run):
    run.inputs["scores"][0].write_text("{")
    with pytest.raises(UserError, match="is not the JSON it should be"):
        write(run)


def test_it_runs_as_a_stage(run):
    words = [sys.executable, "-m", "ernie_m.report.build", *run.arguments]
    subprocess.run(words, check=True, capture_output=True)
    record = json.loads((FOLDER / "record.json").read_text())
    assert record["stage"] == "report_build"
    assert set(record["facts"]["outputs"]) == {*OUTPUTS, "figures"}


def test_values_come_from_the_records(run):
    page = write(run)["report"]
    for words in ("camlm.objectives", "backtranslate.placeholder_ratio", "predict.pooling"):
        assert words in page
    assert "Apache-2.0" in page and "as pinned" in page
    assert "ernie-m audit results/default/xtreme_score/standin_retrieval" in page


def test_a_choice_shows_the_main_variant_s_value_and_of_vectors_those_of_retrieval(run):
    evidence = Evidence.read(run.inputs["records"], [])
    named = {
        name: (value, place)
        for group in choices(evidence)
        for _, values in group["rows"]
        for name, value, place in values
    }
    assert "/ernie_m/" in named["camlm.steps"][1]
    vectors = [place for name, (_, place) in named.items() if name.startswith("predict.")]
    assert vectors and all("standin_retrieval" in place or "mining" in place for place in vectors)


def test_choices_name_settings_that_exist():
    models = {
        "corpora_deal": DealSettings,
        "tokenizer_train": TrainSettings,
        "pretrain_initialise": InitialiseSettings,
        "pretrain_camlm": StageSettings,
        "pretrain_backtranslate": BacktranslateSettings,
        "pretrain_btmlm": StageSettings,
        "xtreme_predict": PredictSettings,
    }
    for choice in (*DEVIATIONS, *OPEN_CHOICES):
        for stage, key in choice.settings:
            model = models[stage]
            for part in key.split("."):
                assert part in model.model_fields, f"{choice.topic}: {key}"
                model = model.model_fields[part].annotation


class Doors(Balanced):
    """Collects text with numbers that stands in a cell, a list or a figure, with its origin."""

    def __init__(self):
        super().__init__()
        self.around, self.numbers = [], []

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.around.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        super().handle_endtag(tag)
        self.around.pop()

    def handle_data(self, data):
        tags = [tag for tag, _ in self.around]
        prose = any(tag == "td" and "wrap" in a.get("class", "") for tag, a in self.around)
        if re.search(r"\d", data) and {"td", "dd", "figure"} & set(tags) and not prose:
            doors = [a for _, a in self.around if a.keys() & {"data-from", "data-stage"}]
            self.numbers.append((data, doors[-1] if doors else None))


def lineage_of(page):
    return json.loads(re.search(r'id="lineage-data">(.*?)</script>', page, re.DOTALL).group(1))


def test_every_number_opens_the_jobs_behind_it(make_run):
    page = write(make_run(seeds=(1, 2)))["report"]
    doors = Doors()
    doors.feed(page)
    assert len(doors.numbers) > 1000
    assert [text for text, door in doors.numbers if door is None] == []
    made = {path for job in lineage_of(page)["jobs"] for path, *_ in job["made"]}
    stages = {job["stage"] for job in lineage_of(page)["jobs"]}
    for _, door in doors.numbers:
        assert door.get("data-stage", "report_build") in stages
        assert {place.split("#")[0] for place in door.get("data-from", "").split()} <= made


def test_a_score_is_the_mean_of_the_numbers_that_it_names(make_run):
    page = write(make_run(seeds=(1, 2, 3)))["report"]
    cells = re.findall(r'<a href="[^"]+" data-from="([^"]+)"[^>]*>([0-9.]+)', page)
    assert len(cells) > 300
    for places, shown in cells:
        values = []
        for place in places.split():
            path, _, keys = place.partition("#")
            value = json.loads(Path(path).read_text())
            for key in keys.split("/"):
                value = value[key]
            values.append(value)
        assert f"{sum(values) / len(values):.1f}" == shown, places


def test_the_lineage_is_that_of_the_records(run):
    found = lineage_of(write(run)["report"])
    jobs, settings = found["jobs"], found["settings"]
    place = {job["name"]: index for index, job in enumerate(jobs)}
    for path in run.inputs["records"]:
        record = json.loads(path.read_text())
        job = jobs[place["/".join(filter(None, (record["stage"], record["instance"])))]]
        assert settings[job["settings"]] == record["facts"]["settings"]
        read = {f["path"] for files in record["facts"]["inputs"].values() for f in files}
        makers = {index for index, one in enumerate(jobs) if read & {p for p, *_ in one["made"]}}
        assert set(job["from"]) == makers
        assert all(maker < place[job["name"]] for maker in makers)  # makers come first
    assert jobs[-1]["name"] == "report_build" and len(jobs) == len(run.inputs["records"]) + 1


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_opens_the_chain_of_a_number(run, tmp_path):
    page = write(run)["report"]
    file = tmp_path / "report.html"
    file.write_text(page)
    place = re.search(r'data-from="([^" ]+#languages/de/accuracy)"', page).group(1)
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
    address = f"{file.as_uri()}#from={quote(place, safe='')}"
    done = subprocess.run(
        [*words, address], capture_output=True, text=True, check=True, timeout=120
    )
    opened = done.stdout.split('id="trace"')[1].split("</dialog>")[0]
    assert "<strong>" in opened and f"ernie-m audit {place}" in opened
    chain = re.findall(r'class="job">([^<]+)<', opened)
    assert chain[0] == "corpora_download/interface"
    assert chain[-1] == place.removeprefix("results/default/").rpartition("/scores.json")[0]
    assert 'class="dim"' in done.stdout  # stages that had no part in it


def test_the_picture_follows_the_records(run):
    evidence = Evidence.read(run.inputs["records"], [])
    assert ("corpora_deal", "xtreme_prepare") in evidence.edges
    kept = graph.reduced(evidence.edges)
    assert ("tokenizer_train", "xtreme_predict") not in kept  # the longer way says it
    depth = graph.layers(evidence.edges)
    assert all(depth[maker] < depth[reader] for maker, reader in evidence.edges)
    drawn_apart(evidence.edges)


SWEPT = {("pretrain_btmlm", "xtreme_sweep"), ("xtreme_prepare", "xtreme_sweep")}
TOLD = {(f"xtreme_{stage}", "report_build") for stage in ("sweep", "score", "baseline")}


@pytest.mark.parametrize(
    "more", [SWEPT | TOLD, {("pretrain_btmlm", f"other_{n}") for n in range(5)}]
)
def test_a_crowded_picture_is_whole(run, more):
    drawn_apart(Evidence.read(run.inputs["records"], []).edges | more)


def drawn_apart(edges):
    """Every stage is a box inside the picture, and none lies over another."""
    stages = {stage for edge in edges for stage in edge}
    picture = graph.picture(edges, {}).__html__()
    assert all(f">{stage}</text>" in picture for stage in stages)
    whole = float(re.search(r'viewBox="0 0 ([\d.]+) ', picture)[1])
    boxes = re.findall(r'<rect x="([\d.-]+)" y="([\d.]+)" width="(\d+)"', picture)
    spans = sorted((float(y), float(x), float(x) + float(width)) for x, y, width in boxes)
    assert all(left >= 0 and right <= whole for _, left, right in spans)
    for (y, _, right), (next_y, left, _) in pairwise(spans):
        assert y != next_y or right <= left


def test_text_and_ticks_are_put_for_people():
    assert prose("`a<b>` & c") == "<code>a&lt;b&gt;</code> &amp; c"
    assert ticks(0, 9.2) == [0, 2.5, 5, 7.5]
    assert ticks(3, 3) == [3]
    assert apart([10, 11, 50], 12, 0, 60) == [10, 22, 50]
    assert apart([58, 59], 12, 0, 60) == [48, 60]


def test_a_curve_enters_from_above():
    points = [(0.0, 9.0), (100.0, 6.0), (200.0, 5.0)]
    figure = losses("mmlm", [Curve("camlm", 0, 200, points, points)], 6.2).__html__()
    assert "unigram 6.20" in figure
    first = re.search(r'<polyline points="([\d.]+),([\d.]+)', figure)
    assert float(first.group(1)) > 30 and float(first.group(2)) == 16


def test_languages_keep_their_order(run):
    page = write(run)["report"]
    heads = re.findall(r"<th>without en</th><th>gap</th>((?:<th>\w\w</th>)+)", page)
    assert "".join(f"<th>{code}</th>" for code in run.languages) in heads
