# SPDX-License-Identifier: Apache-2.0
"""The interface of a family of models to training, and its implementations.

`family` defines the interface, `registry` finds the implementation of a family; each
family has its own package.
"""
