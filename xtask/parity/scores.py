"""scikit-learn's side for metrics."""

import warnings

import torch
from sklearn import metrics as M

warnings.filterwarnings("ignore")  # classes that never occur are part of the test


def metrics(expression, given):
    classes, labels = eval(expression)
    y, p, rows = given["targets"].numpy(), given["predictions"].numpy(), given["probabilities"].numpy()

    def three(average, labels):
        scores = M.precision_recall_fscore_support(y, p, average=average, labels=labels, zero_division=0)[:3]
        return torch.tensor([[float(v) for v in s] if average is None else float(s) for s in scores])

    def area(c):
        return M.roc_auc_score(y == c, rows[:, c]) if 0 < (y == c).sum() < len(y) else torch.nan

    return {
        "accuracy": torch.tensor(float(M.accuracy_score(y, p))),
        "balanced_accuracy": torch.tensor(float(M.balanced_accuracy_score(y, p))),
        "matthews": torch.tensor(float(M.matthews_corrcoef(y, p))),
        "kappa": torch.tensor(float(M.cohen_kappa_score(y, p))),
        "top_2": torch.tensor(float(M.top_k_accuracy_score(y, rows, k=2, labels=range(classes)))),
        "log_loss": torch.tensor(float(M.log_loss(y, rows, labels=range(classes)))),
        "roc_auc": torch.tensor([float(area(c)) for c in range(classes)]),
        "matrix": torch.from_numpy(M.confusion_matrix(y, p, labels=range(classes))),
        "per_class": three(None, range(classes)).T,
        "macro": three("macro", labels),
        "weighted": three("weighted", labels),
        "micro": three("micro", labels),
    }
