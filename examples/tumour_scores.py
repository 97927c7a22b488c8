"""Writes tumours.csv: the probability of a malignant tumour, of a model that looks at three cheap measurements.

The data are those of scikit-learn, Breast Cancer Wisconsin (Diagnostic): W. Wolberg, O. Mangasarian, N. Street,
W. Street, UCI Machine Learning Repository, 1993, CC BY 4.0. Every row is scored by a model that was trained on others.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer()
texture_smoothness_symmetry, malignant = data.data[:, [1, 4, 8]], 1 - data.target
model = make_pipeline(StandardScaler(), LogisticRegression())
scores = cross_val_predict(model, texture_smoothness_symmetry, malignant, cv=5, method="predict_proba")[:, 1]

with open("tumours.csv", "w", encoding="utf-8") as file:
    file.write("target,score\n")
    for one, score in zip(malignant, scores, strict=True):
        file.write(f"{('benign', 'malignant')[one]},{score:.6f}\n")
