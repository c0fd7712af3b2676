"""House prices from a table: a regressor beside ridge regression, a model file, and what a price is made of."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bilstm
from bilstm.xray import x_ray

data = bilstm.boston()
order = np.random.default_rng(0).permutation(len(data))
training, new = data.take(order[:400]), data.take(order[400:])

model = bilstm.BiLSTMRegressor(max_epochs=60).fit(training)
ridge = make_pipeline(StandardScaler(), RidgeCV()).fit(training.steps.to_numpy(), training.target_values)
errors = ridge.predict(new.steps.to_numpy()) - new.target_values
print(f"ridge regression: rmse {np.sqrt(np.mean(errors**2)):.2f}")
print("this BiLSTM:      rmse {rmse:.2f}, r2 {r2:.3f}".format(**bilstm.evaluate(model, new)))

model.save("houses.bilstm")
again = bilstm.load("houses.bilstm")  # knows its columns and scalers
house = new.take([0])
print(f"predicted {again.predict(house)[0]:.1f}, true {house.target_values[0]:.1f} thousand dollars")

found = x_ray(again, house).contributions[0]  # against a house that is average in every column
print(f"the average house {found.baseline:.1f}, and what this one's columns add, largest first:")
for column in np.argsort(-np.abs(found.amount[0]))[:5]:
    print(f"  {data.feature_names[column]:<8}{found.amount[0, column]:+6.1f}")
