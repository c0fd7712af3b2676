"""Three hundred years of sunspots: a forecaster, the walk forward that judges it, and the years to come."""

from bilstm import BiLSTMForecaster, load, sunspots
from bilstm.report.plots import forecasts, save_figure

series = sunspots()
model = BiLSTMForecaster(history=33, horizon=5, season=11, hidden_size=32, max_epochs=6)

walked = model.backtest(series, folds=2, steps=22)  # fits to all before each fold; the model itself stays unfitted
print(walked.report())
print(walked.frame().head(3))

model.fit(series).save("sunspots.bilstm")
again = load("sunspots.bilstm")
print(again.predict().select("year", "predicted_sunspots", "sunspots_low_80", "sunspots_high_80"))
save_figure(forecasts(again), "sunspots.png")
