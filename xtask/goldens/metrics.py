"""What scikit-learn says of random predictions: the goldens of nyang-train's metrics.

    pip install scikit-learn && python xtask/goldens/metrics.py > crates/nyang-train/tests/goldens/metrics.jsonl

Each line is one case: targets, probabilities in 64ths (so that they are exact in any number type, and ties and zeros are common), and
every score. Most cases lack classes among the targets, the predictions, or both. A prediction is the first most probable class. Where
scikit-learn has no value (one class against nothing), the case has null. The expected calibration error is not in scikit-learn: it is
computed here from Guo et al. 2017, equation 3, over 10 bins (low, high].
"""
import json
import math
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics as m

warnings.simplefilter("ignore")
rng = np.random.default_rng(20261126)


def number(x):
    x = float(x)
    return None if math.isnan(x) else x


def probabilities(n, c, sharp):
    rows = []
    for _ in range(n):
        counts = rng.multinomial(64, rng.dirichlet(np.full(c, sharp)))
        rows.append(counts.tolist())
    return rows


def calibration(p, predicted, targets, bins=10):
    confidence = p.max(axis=1)
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True) - 1
    return sum(
        (bin_of == b).mean() * abs((predicted == targets)[bin_of == b].mean() - confidence[bin_of == b].mean()) for b in np.unique(bin_of)
    )


def averages(y, predicted, average, labels=None):
    return [number(v) for v in m.precision_recall_fscore_support(y, predicted, average=average, labels=labels, zero_division=0)[:3]]


def case(c, n, present, sharp):
    names = list(range(c))
    y = rng.choice(present, size=n)
    sixtyfourths = probabilities(n, c, sharp)
    # now and then the target's own probability is raised, so that not all is chance
    for row, target in zip(sixtyfourths, y):
        if rng.random() < 0.5:
            row[:] = [v // 2 for v in row]
            row[target] += 64 - sum(row)
    p = np.array(sixtyfourths) / 64
    predicted = p.argmax(axis=1)
    precision, recall, f1, support = m.precision_recall_fscore_support(y, predicted, labels=names, zero_division=0)
    auc = [number(m.roc_auc_score(y == k, p[:, k])) if 0 < (y == k).sum() < n else None for k in names]
    if len(set(y)) == c > 2:  # scikit-learn's own mean exists: it must be the mean of the above
        assert abs(m.roc_auc_score(y, p, multi_class="ovr", average="macro") - np.mean(auc)) < 1e-12
    return {
        "classes": c,
        "targets": y.tolist(),
        "sixtyfourths": [v for row in sixtyfourths for v in row],
        "confusion": m.confusion_matrix(y, predicted, labels=names).ravel().tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": [int(v) for v in support],
        "binary_f1": [number(m.f1_score(y == k, predicted == k, zero_division=0)) for k in names],
        "macro": averages(y, predicted, "macro"),
        "macro_all": averages(y, predicted, "macro", names),
        "weighted": averages(y, predicted, "weighted"),
        "micro": averages(y, predicted, "micro"),
        "accuracy": number(m.accuracy_score(y, predicted)),
        "balanced": number(m.balanced_accuracy_score(y, predicted)),
        "mcc": number(m.matthews_corrcoef(y, predicted)),
        "kappa": number(m.cohen_kappa_score(y, predicted, labels=None)) if len(set(y) | set(predicted)) > 1 else None,
        "auc": auc,
        "log_loss": number(m.log_loss(y, y_proba=p, labels=names)) if c > 1 else None,
        "top2": number(m.top_k_accuracy_score(y, p, k=2, labels=names)) if c > 2 else None,
        "ece": number(calibration(p, predicted, y)),
    }


for i in range(220):
    c = int(rng.integers(1, 6)) if i % 20 == 0 else int(rng.integers(2, 6))
    n = int(rng.integers(1, 13))
    how_many = int(rng.integers(1, c + 1))
    present = rng.choice(c, size=how_many, replace=False)
    print(json.dumps(case(c, n, present, float(rng.choice([0.2, 1.0, 5.0]))), separators=(",", ":")))
print(f"scikit-learn {sklearn.__version__}, 220 cases", file=sys.stderr)
