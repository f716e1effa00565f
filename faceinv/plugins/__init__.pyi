from .host import (
    Host as Host,
)
