"""Intensity, valence and arousal of face, voice and both, held against clips' known truth."""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import MienError
from training.evaluation.on_card import Findings
from training.evaluation.reader_figures import TABLE
from training.metrics.statistics import concordance, concordance_interval
from training.models.intensity import IntensityFusion
from training.restore import restore
from training.trainers.intensity import fuse
from training.trainers.readings import Reader
from training.trainers.samples import Clips

Floats = NDArray[np.float32]


def intensities(options: argparse.Namespace) -> Findings:
    """Concordance of face, voice and both with clips' known truth. Raises MienError."""
    runs = [getattr(options, name) for name in ("visual", "speech", "intensity")]
    if None in runs:
        raise MienError("intensity needs --visual, --speech and --intensity, three runs")
    clips = Clips(options.data, options.split, lambda info, frames: info.synthetic and frames > 0)
    reader = Reader(runs[0], runs[1])
    fusion = restore(runs[2], "intensity", IntensityFusion)
    predicted: dict[str, list[Floats]] = defaultdict(list)
    for index in clips.chosen:
        sample = clips[index]
        out, labels = reader.read(sample), sample.labels
        truth = np.stack([labels.valence, labels.arousal, labels.intensity], axis=1)
        present = torch.from_numpy(out.present)[None]
        pair = torch.from_numpy(out.face)[None], torch.from_numpy(out.voice)[None]
        both = out.present.all(axis=1)
        for name, mask in (("face", (1, 0)), ("voice", (0, 1)), ("both", (1, 1))):
            shown = present * torch.tensor(mask, dtype=torch.float32)
            with torch.no_grad():
                fused = fuse(fusion, *pair, shown)
            answers = torch.cat([fused.valence_arousal, fused.intensity], dim=2)[0].numpy()
            predicted[name].append(answers[both])
        predicted["face's own"].append(out.face[both, 8:])
        predicted["voice's own"].append(out.voice[both, 8:])
        predicted["truth"].append(truth[both])
    truths = predicted.pop("truth")
    known = np.concatenate(truths)
    whose = [clips.infos[index].subject for index in clips.chosen]
    people = len(set(whose))
    found = Findings()
    figures = found.tables[TABLE]
    names = {name: name.replace("'s ", "_") for name in predicted}
    figures |= {"frames": len(known), "clips": len(clips.chosen), "people": people}
    found.lines += [
        f"concordance over {len(known)} frames of {len(clips.chosen)} clips of {people} people:",
        "",
        "| from | valence | arousal | intensity |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, parts in predicted.items():
        every = np.concatenate(parts)
        cells = []
        for i, of in enumerate(("valence", "arousal", "intensity")):
            value = concordance(known[:, i], every[:, i])
            figures[f"{of}_{names[name]}"] = value
            cells.append(f"{value:.3f}")
            if people > 1:
                right, got = ([part[:, i] for part in both] for both in (truths, parts))
                low, high = concordance_interval(right, got, whose)
                cells[-1] += f" ({low:.3f} to {high:.3f})"
        found.lines.append(f"| {name} | " + " | ".join(cells) + " |")
    note = "(a to b): 95 %, people drawn anew" if people > 1 else "one person: no interval is known"
    found.lines += ("", note)
    return found
