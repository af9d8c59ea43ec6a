"""Short names of the studies' variants, for an axis that fits a phone."""

STUDY_NAMES = {
    "study-a": {
        "adam": "Adam 0.001",
        "adam-tuned": "Adam 0.0003, 80 epochs",
        "sgd-0.003": "SGD 0.003",
        "sgd-0.01": "SGD 0.01 (Keras)",
        "sgd-0.03": "SGD 0.03",
        "sgd-0.1": "SGD 0.1",
        "sgd-0.3": "SGD 0.3",
        "sgd-0.003-momentum": "SGD 0.003, momentum",
        "sgd-0.01-momentum": "SGD 0.01, momentum",
        "sgd-0.03-momentum": "SGD 0.03, momentum",
        "sgd-0.1-momentum": "SGD 0.1, momentum",
        "sgd-0.3-momentum": "SGD 0.3, momentum",
        "adam-then-sgd": "Adam, then SGD 0.01",
    },
    "study-b": {
        "1": "1: 7 classes",
        "2": "2: 7, undersampled",
        "3": "3: 7, weights",
        "4": "4: 6, undersampled",
        "5": "5: 3 classes",
        "6": "6: 5 classes",
        "6b": "6b: 6, merged after",
        "7": "7: 2 classes",
        "8": "8: 2, undersampled",
    },
}
