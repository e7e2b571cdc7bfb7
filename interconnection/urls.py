"""Addresses of the planning desk's pages."""

from django.urls import path

from interconnection import views

urlpatterns = [
    path("", views.queue, name="queue"),
    path("applications/new/", views.new_application, name="new-application"),
    path("applications/<int:number>/", views.application, name="application"),
    path("applications/<int:number>/study/", views.start_study, name="start-study"),
    path("applications/<int:number>/offer/", views.issue_offer, name="issue-offer"),
    path("applications/<int:number>/accept/", views.accept_offer, name="accept-offer"),
    path("studies/<int:number>/progress/", views.study_progress, name="study-progress"),
    path("feeders/", views.feeders, name="feeders"),
    path("feeders/<slug:name>/", views.feeder, name="feeder"),
]
