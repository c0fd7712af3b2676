"""scikit-learn's own checks, and its tools, on the estimators."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from bilstm import BiLSTMClassifier, BiLSTMRegressor

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "a weighted row and a repeated one meet different neighbours "
    "in a minibatch, and the scaler counts rows, not weights",
}


def expected_failures(estimator):
    return EXPECTED


@parametrize_with_checks(
    [
        BiLSTMRegressor(max_epochs=30, hidden_size=16, batch_size=16),
        BiLSTMClassifier(max_epochs=40, hidden_size=16, batch_size=16, validation_fraction=0),
    ],
    expected_failed_checks=expected_failures,
)
def test_the_estimators_keep_scikit_learns_conventions(estimator, check):
    check(estimator)
