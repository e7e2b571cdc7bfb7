"""Addresses of the application API."""

from django.urls import path

from interconnection import api

urlpatterns = [
    path("feeders/", api.FeederList.as_view(), name="api-feeders"),
    path("feeders/<slug:name>/", api.FeederDetail.as_view(), name="api-feeder"),
    path("applications/", api.ApplicationList.as_view(), name="api-applications"),
    path("applications/<int:number>/", api.ApplicationDetail.as_view(), name="api-application"),
    path("applications/<int:number>/submit/", api.ApplicationSubmit.as_view(), name="api-submit"),
    path("applications/<int:number>/studies/", api.ApplicationStudies.as_view(), name="api-studies"),
    path("applications/<int:number>/offer/", api.ApplicationOffer.as_view(), name="api-offer"),
    path("applications/<int:number>/offer/accept/", api.ApplicationAccept.as_view(), name="api-accept"),
    path("studies/<int:number>/", api.StudyDetail.as_view(), name="api-study"),
]
