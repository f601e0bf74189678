"""The addresses of the console."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from console.views import alert, alerts, chart, health, inbound, metrics, outcome, scorecard

urlpatterns = [
    path("", alerts.page, name="alerts"),
    path("alerts/<int:alert_id>/", alert.page, name="alert"),
    path("alerts/<int:alert_id>/acknowledge", alert.acknowledge, name="acknowledge"),
    path("alerts/<int:alert_id>/confirm", alert.confirm, name="confirm"),
    path("alerts/<int:alert_id>/chart.svg", chart.image, name="chart"),
    path("alerts/<int:alert_id>/outcome", outcome.page, name="outcome"),
    path("scorecard/", scorecard.page, name="scorecard"),
    path("scorecard/release", scorecard.release, name="release"),
    path("api/outcomes/", inbound.page, name="inbound"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("health", health.page, name="health"),
    path("metrics", metrics.page, name="metrics"),
]
