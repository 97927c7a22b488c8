"""The laws that the losses and metrics of this library keep, for those of others: one call, one readable report."""

from metricgrad.testing.loss_check import check_loss as check_loss
from metricgrad.testing.metric_check import check_metric as check_metric
from metricgrad.testing.report import Finding as Finding
from metricgrad.testing.report import Report as Report

__all__ = ["Finding", "Report", "check_loss", "check_metric"]
