"""The addresses of the console."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from console.views import alert, alerts, chart, data, decisions, group, health, inbound, metrics, outcome, scorecard

urlpatterns = [
    path("", alerts.page, name="alerts"),
    path("alerts/<int:alert_id>/", alert.page, name="alert"),
    path("alerts/<int:alert_id>/acknowledge", alert.acknowledge, name="acknowledge"),
    path("alerts/<int:alert_id>/confirm", alert.confirm, name="confirm"),
    path("alerts/<int:alert_id>/shelve", decisions.shelve, name="shelve"),
    path("alerts/<int:alert_id>/out-of-service", decisions.take_out_of_service, name="out-of-service"),
    path("alerts/<int:alert_id>/end-hold", decisions.end_hold, name="end-hold"),
    path("alerts/<int:alert_id>/end-wont-fix", decisions.end_wont_fix, name="end-wont-fix"),
    path("alerts/<int:alert_id>/pass-on", decisions.pass_on, name="pass-on"),
    path("alerts/<int:alert_id>/verify", decisions.verify, name="verify"),
    path("alerts/<int:alert_id>/send-back", decisions.send_back, name="send-back"),
    path("groups/<int:group_id>/", group.page, name="group"),
    path("groups/<int:group_id>/acknowledge", group.acknowledge, name="acknowledge-group"),
    path("groups/<int:group_id>/confirm", group.confirm, name="confirm-group"),
    path("alerts/<int:alert_id>/chart.svg", chart.image, name="chart"),
    path("alerts/<int:alert_id>/outcome", outcome.page, name="outcome"),
    path("scorecard/", scorecard.page, name="scorecard"),
    path("scorecard/release", scorecard.release, name="release"),
    path("api/outcomes/", inbound.page, name="inbound"),
    path("data/", data.page, name="data"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("health", health.page, name="health"),
    path("metrics", metrics.page, name="metrics"),
]
