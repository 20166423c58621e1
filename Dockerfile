# One image for all processes: `docker run … kodgate web`, `… kodgate bot`, `… kodgate worker`.
# On SQLite with one volume at /var/lib/kodgate; deploy/compose.yaml has it on PostgreSQL behind Caddy.

FROM docker.io/library/python:3.11-slim AS build
# As a checkout is laid out, so that the Procfile's .venv/bin/kodgate is there, too.
WORKDIR /srv/kodgate
COPY requirements.lock ./
RUN python -m venv .venv
RUN .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md Procfile ./
COPY gateway gateway
COPY web web
COPY bot bot
COPY templates templates
COPY static static
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable .
RUN .venv/bin/pybabel --quiet compile --domain kodgate --directory templates/locale
RUN .venv/bin/python -m compileall -q gateway web bot

FROM docker.io/library/python:3.11-slim
RUN groupadd --system --gid 10001 kodgate \
    && useradd --system --uid 10001 --gid kodgate --home-dir /var/lib/kodgate --create-home kodgate
# The code is root's: the process can't change it.
COPY --from=build /srv/kodgate /srv/kodgate
USER 10001:10001
WORKDIR /srv/kodgate
ENV PATH=/srv/kodgate/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    KODGATE_ENV=production \
    HOST=0.0.0.0 \
    DATABASE_URL=sqlite:////var/lib/kodgate/kodgate.sqlite3
VOLUME /var/lib/kodgate
EXPOSE 8000 8001 8003
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["kodgate", "health"]
CMD ["kodgate", "web"]
