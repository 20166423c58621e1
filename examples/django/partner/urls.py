from django.contrib.auth.views import LogoutView
from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("inline", views.inline, name="inline"),
    path("login/done", views.login_done, name="login_done"),
    path("logout", LogoutView.as_view(), name="logout"),
]
