from __future__ import annotations

from bench.corpus_archive import folder
from bench.corpus_cases import cases
from bench.normalise import measure, protobuf_of, report
from collector.otlp import read_spans


def test_every_span_is_measured_once_beside_the_parse_of_the_same_requests() -> None:
    read = cases(folder(), ["vercel-ai-v6", "strands"])
    raws = [raw for case in read for raw in case.spans()]

    bodies = [body for case in read for body in protobuf_of(case)]
    figures = measure(raws, bodies, rounds=1)

    assert sum(line.spans for line in figures.lines) == len(raws)
    parsed = [read_spans(body, json=False) for body in bodies]
    assert sum(len(one.spans) + len(one.rejected) for one in parsed) == len(raws)
    assert min(figures.whole_us, figures.unpriced_us, figures.parse_us) > 0
    text = report(figures)
    assert all(line.name in text for line in figures.lines)
    assert "protobuf parse alone" in text
