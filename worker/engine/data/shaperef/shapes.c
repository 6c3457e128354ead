/* shapes.c - the eight outlines: one circle and seven polygons, scaled so that they look equally
 * big.
 *
 * Distance to a polygon: the nearest edge, negative where a ray crosses the outline an odd number
 * of times. y points down, as in the picture.
 */
#include "engine/data/shaperef/draw.h"

#include <math.h>
#include <pthread.h>

enum shape { CIRCLE, SQUARE, TRIANGLE, STAR, DIAMOND, CROSS, HEART, MOON };

#define VERTICES_MAX 40
#define PI 3.14159265358979323846

struct outline {
    int n;
    double x[VERTICES_MAX], y[VERTICES_MAX];
};

static struct outline outline[SHAPES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add(struct outline *o, double x, double y)
{
    o->x[o->n] = x;
    o->y[o->n++] = y;
}

/* n corners, every second one at radius `inner`, the first straight up. */
static void add_star(struct outline *o, int n, double outer, double inner)
{
    for (int i = 0; i < n; i++) {
        double r = i % 2 ? inner : outer, a = 2 * PI * i / n - PI / 2;
        add(o, r * cos(a), r * sin(a));
    }
}

static void add_cross(struct outline *o, double reach, double half)
{
    static const int corner[12][2] = {{-1, -2}, {1, -2}, {1, -1}, {2, -1}, {2, 1},   {1, 1},
                                      {1, 2},   {-1, 2}, {-1, 1}, {-2, 1}, {-2, -1}, {-1, -1}};
    for (int i = 0; i < 12; i++) {
        int cx = corner[i][0], cy = corner[i][1];
        add(o, (cx < 0 ? -1 : 1) * (cx % 2 ? half : reach),
            (cy < 0 ? -1 : 1) * (cy % 2 ? half : reach));
    }
}

static void add_heart(struct outline *o)
{
    for (int i = 0; i < 36; i++) {
        double t = 2 * PI * i / 36;
        double y = 13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t);
        add(o, 16 * pow(sin(t), 3) / 15.5, -(y + 2.3) / 15.5);
    }
}

/* The outer circle with a bite: two circles that meet where both have the same distance. */
static void add_moon(struct outline *o)
{
    const double R = 1.12, r = 0.88, shift = 0.66, back = 0.28;
    double x = (shift * shift + R * R - r * r) / (2 * shift), y = sqrt(R * R - x * x);
    double outer = atan2(y, x), inner = atan2(y, x - shift);
    for (int i = 0; i <= 20; i++) {
        double a = outer + (2 * PI - 2 * outer) * i / 20;
        add(o, R * cos(a) + back, R * sin(a));
    }
    for (int i = 1; i < 14; i++) {
        double a = 2 * PI - inner - (2 * PI - 2 * inner) * i / 14;
        add(o, r * cos(a) + shift + back, r * sin(a));
    }
}

static void make_outlines(void)
{
    add_star(&outline[SQUARE], 4, 1.2, 1.2);
    for (int i = 0; i < 4; i++) { /* a quarter of a right angle: flat side up */
        double x = outline[SQUARE].x[i], y = outline[SQUARE].y[i];
        outline[SQUARE].x[i] = (x - y) * sqrt(0.5);
        outline[SQUARE].y[i] = (x + y) * sqrt(0.5);
    }
    add_star(&outline[TRIANGLE], 3, 1.15, 1.15);
    add_star(&outline[STAR], 10, 1.2, 0.52);
    add_star(&outline[DIAMOND], 4, 1.2, 0.74);
    add_cross(&outline[CROSS], 1.02, 0.36);
    add_heart(&outline[HEART]);
    add_moon(&outline[MOON]);
}

static double polygon_distance(const struct outline *o, double u, double v)
{
    double best = 1e30;
    bool inside = false;
    for (int i = 0, j = o->n - 1; i < o->n; j = i++) {
        double ex = o->x[j] - o->x[i], ey = o->y[j] - o->y[i];
        double wx = u - o->x[i], wy = v - o->y[i];
        double t = (wx * ex + wy * ey) / (ex * ex + ey * ey);
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        double dx = wx - t * ex, dy = wy - t * ey, d = dx * dx + dy * dy;
        best = d < best ? d : best;
        if ((o->y[i] > v) != (o->y[j] > v) && u < ex * (v - o->y[i]) / ey + o->x[i])
            inside = !inside;
    }
    return inside ? -sqrt(best) : sqrt(best);
}

double shape_distance(int shape, double u, double v)
{
    if (shape == CIRCLE)
        return sqrt(u * u + v * v) - 0.98;
    pthread_once(&once, make_outlines);
    return polygon_distance(&outline[shape], u, v);
}
